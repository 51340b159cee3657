"""Hostile input against a real node with its gateway, over TCP, HTTP and WebSocket.

    python -m fuzz.hostile --inputs 100000 --seed 1

Each example is a few inputs on one connection: requests of the documented forms with values
that make no sense, bytes changed afterwards, and bytes that never were a request.  Hypothesis
makes them and shrinks what it finds; schemathesis makes those of the OpenAPI document.

    property     | broken by
    -------------+---------------------------------------------------------------------
    no crash     | the process has ended, or says on stderr that something failed
    no hang      | no answer, and no end of the connection, within SECONDS
    no leak      | a trace, a path, a key, or another account's data in an answer
    documented   | an answer that is not of the form that docs and OpenAPI promise,
                 | or not one for each request, in order, with its id

The inputs of a seed are the same each time; what they meet depends on those before.
"""
