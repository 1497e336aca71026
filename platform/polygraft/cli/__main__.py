from polygraft.cli import app

app()
