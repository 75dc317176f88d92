"""Start the planner service."""

from alpha_umi.serving.process import main
from services.planner import create_router

if __name__ == "__main__":  # vLLM starts its engine in processes that import this module again
    main("planner", create_router)
