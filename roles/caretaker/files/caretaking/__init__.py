"""What the caretaker's verbs do. Python 3.8 is enough, and its own library: a box has what it has."""
