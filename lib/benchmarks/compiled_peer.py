"""The tasks in PyTorch with torch.compile, which needs a C++ compiler."""
import torch

from .torch_peer import tasks

TASKS = tasks(torch.compile)
