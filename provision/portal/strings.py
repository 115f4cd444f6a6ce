"""Every English word of the launch page, in one place, so that it can be said in another language.

No word of networks, clouds or servers: a student has a machine, and that is all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LANGUAGE = "en"

SECONDS, MINUTE, MINUTES, HOURS, DAYS = "{} seconds", "a minute", "{} minutes", "{} hours", "{} days"

SIGN_IN = "Sign in"
SIGN_IN_LINK = (
    "Open the personal link that you were sent by your course team. It works once, in the browser that you use."
)
SIGN_IN_OTHER = "Or sign in with:"
UNIVERSITY_ACCOUNT = "your university account"
SIGN_OUT = "Sign out"
SIGNED_IN_AS = "Signed in as {}"
LINK_TITLE = "Welcome"
LINK_TEXT = "This link is yours alone and works once. Sign in on the computer that you work with."
SKIP = "Skip to the page's content"
REFERENCE = "Reference: {}"
BACK = "Back to my machine"

NONE_TITLE = "Your course machine"
NONE_TEXT = "Press the button, and a machine of your own is made ready for you. You can close this page meanwhile."
START = "Start my machine"
UNDER_WAY_TITLE = "Your machine is on its way"
UNDER_WAY_TEXT = "You need not wait here: close this page and come back, it goes on."
AGAIN = "This page looks again by itself every few seconds."
QUEUED = "Waiting in line"
AHEAD = "{} before you"
PHASES: Mapping[str, str] = {
    "reserving": "Reserving",
    "starting": "Starting",
    "software": "Course software",
    "checking": "Checking",
    "ready": "Ready",
}
DONE, NOW, TO_COME = "done", "now", "to come"
USUALLY = "usually {}"
SO_FAR = "for {} so far"
DETAILS = "Details"
DETAIL_PHASES: Mapping[str, str] = {
    "queued": "Your place in line is kept. The course team's computers take a few at a time.",
    "reserving": "Room for your machine is being found.",
    "starting": "Your machine is being made and switched on.",
    "software": "Your machine is on. JupyterLab and the course's programs are starting.",
    "checking": "We sign in as you would and run a cell, to be sure that it works.",
}
READY_TITLE = "Your machine is ready"
OPEN = "Open my machine"
OPEN_NOTE = "Opens in a new window. Sign in there with your machine's password."
SHOW = "Show my password"
SHOW_NOTE = "It is shown once. Write it down, or let your browser keep it."
PASSWORD_TITLE = "Your machine's password"
PASSWORD_TEXT = "This page shows it once, and nothing here keeps it. Write it down before you leave."
SHOWN_TITLE = "Your password was shown already"
SHOWN_TEXT = "It is shown only once."
SHOWN_RESET = "If you lost it, take a new one."
SHOWN_ASK = "If you lost it, ask your course team."
ASLEEP_TITLE = "Your machine is asleep"
ASLEEP_TEXT = "Your files are kept. It wakes in about {}."
ASLEEP_TEXT_PLAIN = "Your files are kept. It wakes in a minute or two."
WAKE = "Start it again"
STOPPING_TITLE = "Your machine is going to sleep"
STOPPING_TEXT = "Your files are kept."
MORE = "More"
RESTART, RESTART_TEXT = "Restart", "Switches your machine off and on. Save your work first; your files are kept."
STOP, STOP_TEXT = "Stop", "Puts your machine to sleep. Your files are kept."
RESET_PASSWORD, RESET_PASSWORD_TEXT = "New password", "Makes a new password and ends every open session."
RESET, RESET_TEXT = "Reset machine", "Sets your machine up as on the first day. Your course files are kept."
LEFT = "Machines of this course are kept until {} ({} left)."
ENDED = "This course ended on {}. Save what you want to keep."
BLIND = "We cannot see your machine at the moment. What it does goes on; this page shows it again soon."

FAILED_TITLE = "Something went wrong"
WHAT_HAPPENED, WHAT_IT_MEANS, WHAT_TO_DO, WHOM = "What happened", "What it means", "What to do", "Whom to tell"
TRY_AGAIN = "Try again"
COURSE_TEAM = "your course team"
WHOM_TEXT = "If it happens again, tell {} and give the reference {}."
WHOM_NOW = "If it stays so, tell {}."


@dataclass(frozen=True)
class Problem:
    """What happened, what it means for the student, and what to do."""

    happened: str
    means: str
    do: str


_NOT_MADE = Problem(
    "Your machine could not be made.",
    "You have no machine yet, and nothing of yours was lost.",
    "Wait a few minutes, then try again.",
)
_NO_SOFTWARE = Problem(
    "Your machine was made, but its course software did not answer in time.",
    "It may only be slow today. Your files are kept.",
    "Try again. If you have a machine already, restarting it often helps.",
)
_NOT_PROVED = Problem(
    "Your machine runs, but it did not pass our check.",
    "We did not manage to sign in and work as you would, so it may not work for you. Your files are kept.",
    "Try again, or restart it.",
)
_PROBLEMS: Mapping[str, Problem] = {
    **dict.fromkeys(("network", "web", "address"), _NO_SOFTWARE),
    **dict.fromkeys(("login", "kernel", "ssh", "safety", "handout"), _NOT_PROVED),
    "power": Problem(
        "Your machine did not do what it was asked to.",
        "It may be off or asleep. Your files are kept.",
        "Try again in a few minutes.",
    ),
    "reset": Problem("Your machine could not be reset.", "It is as it was.", "Try again in a few minutes."),
    "roster": Problem(
        "You are not on the course's list any more.", "No machine is made for you here.", "Ask your course team."
    ),
}


def problem_of(stage: str) -> Problem:
    """What a failure at this stage is to a student."""
    return _PROBLEMS.get(stage, _NOT_MADE)


TROUBLE = Problem(
    "The page could not be made.",
    "The fault is ours. Your machine is not touched by it.",
    "Wait a minute and load this page again.",
)
NOT_YOURS = Problem(
    "There is no such page for you.",
    "The address is wrong, or it is for other people.",
    "Go back to your machine's page.",
)
NOT_SIGNED_IN = "You could not be signed in."
SIGN_IN_AGAIN = "Begin again where you came from. If it fails twice, tell your course team."
SIGNED_OUT = Problem("You are signed out.", "Nothing was changed.", "Sign in again.")
OLD_FORM = Problem("The page was too old.", "Nothing was changed.", "Go back to your machine's page and press again.")
BAD_LINK = Problem(
    "This link does not work.",
    "It was used already, is too old, or was not copied whole.",
    "Use your newest link. If you have none, ask your course team for another.",
)
TOO_MANY = Problem(
    "There were too many tries.", "To keep guessers out, nobody can sign in from here for now.", "Wait five minutes."
)

STAFF_TITLE = "The class"
STAFF_AUDIT = "Audit log"
STAFF_COLUMNS = ("Student", "Name", "State", "For", "Signed in", "What is wrong", "Reference")
STAFF_FILTER, STAFF_FIND, STAFF_STATE, STAFF_ALL = "Filter", "Id, name or reference", "State", "all"
STAFF_ACT, STAFF_SELECTED, STAFF_SELECT = "Do", "For the selected students:", "Select {}"
STAFF_HANDOUT, STAFF_HANDOUT_NOTE = "Handout", "Download the handout of {}"
STAFF_NOBODY = "Nobody is like that."
STAFF_ACTIONS: Mapping[str, str] = {"start": "Start", "wake": "Wake", "restart": "Restart", "stop": "Stop"}
STAFF_DONE = "{} for {} students was asked for."
AUDIT_COLUMNS = ("When", "Who", "What", "Whom", "Request", "Detail")
STATES: Mapping[str, str] = {
    "failed": "Failed",
    "queued": "Waiting in line",
    **PHASES,
    "stopping": "Going to sleep",
    "asleep": "Asleep",
    "none": "Not started",
}
