"""`python -m services.summarizer`"""

from alpha_umi.serving.process import main
from services.summarizer.api import create_router

if __name__ == "__main__":  # engines are started in processes that import this module again
    main("summarizer", create_router)
