"""What a run shows to people: summary, HTML report, model card."""
