from tiny_trainers import one_thread

__all__ = ["one_thread"]
