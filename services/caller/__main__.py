"""`python -m services.caller`"""

from alpha_umi.serving.process import main
from services.caller.api import create_router

if __name__ == "__main__":  # engines are started in processes that import this module again
    main("caller", create_router)
