"""The launch page: a student signs in, presses one button, and is told honestly how far the machine is."""
