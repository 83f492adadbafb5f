"""The catalogue: the database that knows every clip, and all the SQL there is in the dock."""
