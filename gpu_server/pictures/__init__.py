"""Pictures in files: decoded in processes that can be bounded and ended."""
