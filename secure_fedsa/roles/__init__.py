"""The parties as pure state machines.

A role's ``step(state, event)`` returns the next state and the effects that it wants, in
order. It does no input or output, reads no clock and draws no randomness: the engine
performs each effect, makes it durable where it must be, and answers with an
acknowledgement before it performs the next. So "charged before drawn" and "logged before
decrypted" can be read off the code, and a test can crash between any two effects.
"""
