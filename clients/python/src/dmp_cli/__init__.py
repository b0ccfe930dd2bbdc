"""`dmp`: the command line of DMP. Install it with `dmp-client[cli]`."""
