"""`python -m services.planner`"""

from alpha_umi.serving.process import main
from services.planner.api import create_router

if __name__ == "__main__":  # engines are started in processes that import this module again
    main("planner", create_router)
