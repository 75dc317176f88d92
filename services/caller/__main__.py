"""Start the caller service."""

from alpha_umi.serving.process import main
from services.caller import create_router

if __name__ == "__main__":  # vLLM starts its engine in processes that import this module again
    main("caller", create_router)
