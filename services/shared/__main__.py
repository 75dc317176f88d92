"""`python -m services.shared`"""

from alpha_umi.serving.process import main_shared
from services.caller.api import create_router as caller_router
from services.planner.api import create_router as planner_router
from services.summarizer.api import create_router as summarizer_router

if __name__ == "__main__":  # engines are started in processes that import this module again
    main_shared({"planner": planner_router, "caller": caller_router, "summarizer": summarizer_router})
