"""Units to be, at the dock: the door that only IT opens, the requests that wait, and the word that confirms one."""
