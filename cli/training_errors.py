"""What keeps data from being prepared and models from being trained, as the message of a command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alpha_umi.serving.manifest import ManifestError
from cli.errors import CommandError, UsageProblem
from recordings.errors import DataError
from training.errors import CannotWrite, LossNotFinite, TrainingError


@contextmanager
def reported() -> Iterator[None]:
    """Raises `CommandError` for what the block raises: 1 where the machine is at fault, 2 where what was given is."""
    try:
        yield
    except (CannotWrite, LossNotFinite) as error:
        raise CommandError(error.message, remedy=error.remedy) from error
    except (TrainingError, DataError) as error:
        raise UsageProblem(error.message, remedy=error.remedy) from error
    except ManifestError as error:
        raise _of_models(error) from error
    except ModuleNotFoundError as error:
        raise UsageProblem(
            f"training needs the package {error.name}", remedy="pip install 'alpha-umi[serving,training]'"
        ) from error


def _of_models(error: ManifestError) -> CommandError:
    """What keeps a backbone from being there. These messages say themselves what to do."""
    from alpha_umi.serving.weights.errors import CacheUnusable

    return CommandError(str(error)) if isinstance(error, CacheUnusable) else UsageProblem(str(error))
