"""Start the backbone service."""

from alpha_umi.serving.process import main
from services.backbone import create_router

if __name__ == "__main__":  # vLLM starts its engine in processes that import this module again
    main("backbone", create_router)
