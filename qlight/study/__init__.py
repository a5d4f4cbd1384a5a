"""A whole paper as one resumable plan: tasks under content hashes, run by local processes or dask, and the report."""

from qlight.study.run import InProcess, StudyError, local_processes, run
from qlight.study.store import Store
from qlight.study.task import Plan, Step, Task

__all__ = ["InProcess", "Plan", "Step", "Store", "StudyError", "Task", "local_processes", "run"]
