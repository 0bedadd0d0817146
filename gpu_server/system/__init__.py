"""What the operating system and Python give a process: threads, open files, the event loop, its end."""
