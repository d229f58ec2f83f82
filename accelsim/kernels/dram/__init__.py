"""One DRAM channel at command level: banks, rows, bank groups, refresh, and its controller.

What a caller uses: `new_state`, `room`, `admit` (a request arrives), `next_event`, `step` (what the controller does at one clock, and whose
data is on the bus next), `flush`; `stream` drives a whole list, `front` is what an engine puts accesses into. `accept` and `proceed` are
`admit` and `step` for who holds the next command, the plan, itself.
`inorder` is the quick model of the same channel.
Inside: `state` (all fields), `banks` (queues, rows, timings), `commands` (which goes next), `controller` (staged), `strict` (the other).
"""
