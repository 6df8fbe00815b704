"""The door: people and programs come in here. Flask lives here and nowhere else."""
