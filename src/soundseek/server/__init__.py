"""`soundseek serve`: the library over HTTP, for the search page and for other programs; needs `soundseek[serve]`."""
