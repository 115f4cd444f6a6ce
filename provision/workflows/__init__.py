"""The stories, read from top to bottom: lab, image, cohort, machine."""
