"""The waiting room: every job is kept until it is drawn, and turns are fair. No torch and no Flask here."""
