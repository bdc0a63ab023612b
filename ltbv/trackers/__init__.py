"""What do programs that show trainings see of a study? Its events (`ltbv bootstrap --events`), told on."""
