"""Lead files: read and checked as a whole, then imported into a campaign in appends of a thousand."""
