"""Pure: course, roster, naming, plan. No I/O, no clock, no network."""
