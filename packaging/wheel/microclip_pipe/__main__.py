"""`python -m microclip_pipe` is `microclip-pipe`."""

from microclip_pipe import main

main()
