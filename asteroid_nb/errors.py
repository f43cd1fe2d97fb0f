"""What can go wrong, by name. Every message says what was found, what was needed and what to do."""

import importlib
from types import ModuleType


class AsteroidError(Exception):
    """Base of every error raised for the reader's input rather than for our mistakes."""


class InvalidTrajectory(AsteroidError, ValueError):
    """Arrays that cannot be a trajectory: shapes, NaN, impossible distances, unknown elements."""


class UnitMismatch(InvalidTrajectory):
    """Lengths that cannot be Å, most often nm or bohr."""


class TrajectoryTooShort(InvalidTrajectory):
    """Fewer frames than one window needs."""


class UnreadableFile(AsteroidError, OSError):
    """An empty, truncated or foreign file, or one without a needed key."""


class MissingSpacing(AsteroidError, ValueError):
    """The format carries no trustworthy time, and no ``dt_fs`` was given."""


class DownloadFailed(AsteroidError, OSError):
    """No network, a changed file, or an answer that is not the data set."""


class UnknownName(AsteroidError, KeyError):
    """No data set of this name."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0])


class InvalidSettings(AsteroidError, ValueError):
    """Settings that contradict each other or name something that does not exist."""


class SettingsDiffer(AsteroidError, ValueError):
    """The run folder was begun with other settings."""


class ModelMismatch(AsteroidError, ValueError):
    """A model and data that differ in species, masses, spacing or window."""


class CorruptModel(AsteroidError, OSError):
    """A model folder that is incomplete, damaged or not ours."""


class TrainingDiverged(AsteroidError, RuntimeError):
    """The loss is no longer finite."""


class NotConverged(AsteroidError, RuntimeError):
    """A fixed point was not reached within the tolerance and the steps allowed."""


class SimulationFailed(AsteroidError, RuntimeError):
    """The engine gave up, or the molecule flew apart."""


class DiskFull(AsteroidError, OSError):
    """No space left; what was there before is untouched."""


class MissingExtra(AsteroidError, ImportError):
    """A package of an optional extra is not installed."""


class Interrupted(AsteroidError, RuntimeError):
    """Long work was stopped; what is finished was kept and can be resumed."""


def need(module: str, *, extra: str | None = None) -> ModuleType:
    """Import ``module`` or say which command installs it.

    Raises:
        MissingExtra: the module cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = f"'asteroid-nb[{extra}]'" if extra else module.split(".")[0]
        raise MissingExtra(
            f"This needs {module}, which cannot be imported ({error}). Run: pip install {package}"
        ) from error
