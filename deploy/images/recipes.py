"""The images by name, as the compose file builds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROLES: Final = {
    "planner": "planner",
    "caller": "caller",
    "summarizer": "summarizer",
    "roles": "shared",
    "backbone": "backbone",
}
ENGINES: Final = ("cpu", "gpu")
# What the checks need; the recipe of all role images is one.
DEFAULT: Final = ("orchestrator", "tool-api", "planner-cpu")


@dataclass(frozen=True)
class Recipe:
    """A Dockerfile below `deploy/` and the arguments that it is built with."""

    name: str
    dockerfile: str
    arguments: tuple[tuple[str, str], ...] = ()

    @property
    def tag(self) -> str:
        """The name of the image."""
        return f"alpha-umi/{self.name}:latest"


def _recipes() -> dict[str, Recipe]:
    recipes = [Recipe("orchestrator", "orchestrator.Dockerfile"), Recipe("tool-api", "tool_api.Dockerfile")]
    for name, role in ROLES.items():
        for engine in ENGINES:
            recipes.append(Recipe(f"{name}-{engine}", "role.Dockerfile", (("ROLE", role), ("ENGINE", engine))))
    return {recipe.name: recipe for recipe in recipes}


RECIPES: Final = _recipes()
