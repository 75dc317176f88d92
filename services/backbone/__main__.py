"""`python -m services.backbone`"""

from alpha_umi.serving.process import main
from services.backbone.api import create_router

if __name__ == "__main__":  # engines are started in processes that import this module again
    main("backbone", create_router)
