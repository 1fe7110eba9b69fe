"""The base model judges the data before it is trained: languages, and labels against their audio."""
