"""Start the summarizer service."""

from alpha_umi.serving.process import main
from services.summarizer import create_router

if __name__ == "__main__":  # vLLM starts its engine in processes that import this module again
    main("summarizer", create_router)
