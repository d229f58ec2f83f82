"""One DRAM channel at command level: banks, rows, bank groups, refresh, and its controller.

What a caller uses: `new_state`, `room`, `admit` (a request arrives), `next_event`, `step` (what the controller does at one clock), `flush`,
and the ring of decided completions (`done_time`, `take_done`), in the order of their data on the bus; `stream` drives a whole list.
`inorder` is the quick model of the same channel.
"""
