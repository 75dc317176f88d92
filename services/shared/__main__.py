"""Start planner, caller and summarizer in one process, on one engine: `python -m services.shared`."""

from alpha_umi.serving.process import main_shared
from services import caller, planner, summarizer

if __name__ == "__main__":  # vLLM starts its engine in processes that import this module again
    main_shared(
        {
            "planner": planner.create_router,
            "caller": caller.create_router,
            "summarizer": summarizer.create_router,
        }
    )
