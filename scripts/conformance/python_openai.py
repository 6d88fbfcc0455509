"""What the official Python client finds: as harness.mjs and openai.mjs, a line of JSON for each check."""

import json
import os
import re

import openai

BASE, MODEL = os.environ["BASE"], os.environ["MODEL"]
QUESTION, ANSWER = "What is the capital of France?", "The capital of France is Paris."
REFUSALS = {"unsupported_parameter", "unknown_parameter", "unknown_url", "invalid_value"}

client = openai.OpenAI(base_url=BASE, api_key="none", max_retries=0, timeout=90)
MESSAGES = [{"role": "user", "content": QUESTION}]
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def ask(**more):
    return client.chat.completions.create(**{"model": MODEL, "messages": MESSAGES, "temperature": 0, "max_tokens": 20, **more})


def complete(**more):
    return client.completions.create(**{"model": MODEL, "prompt": "Once upon a time", "temperature": 0, **more})


def expect(is_so, found=""):
    if not is_so:
        raise AssertionError(f"found {found!r}"[:200])


def equal(found, expected):
    expect(found == expected, found)


def failure(act):
    try:
        act()
    except openai.APIError as error:
        return error
    raise AssertionError("found no error")


def sent_back():
    message = ask().choices[0].message
    ask(messages=[*MESSAGES, message, *MESSAGES])


def streamed():
    chunks = ask(stream=True)
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), ANSWER)


def usage_of_stream():
    usage = None
    for chunk in ask(stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
    expect(usage is not None and usage.total_tokens > 8, usage)


def leave():
    with ask(stream=True) as stream:
        for _ in stream:
            break


CHECKS = {
    "Models": {
        "list models": lambda: expect(MODEL in [model.id for model in client.models.list()]),
        "one model": lambda: equal(client.models.retrieve(MODEL).id, MODEL),
        "unknown model": lambda: expect(isinstance(failure(lambda: ask(model="none")), openai.NotFoundError)),
    },
    "Chat": {
        "an answer": lambda: equal(ask().choices[0].message.content, ANSWER),
        "usage": lambda: expect(ask().usage.total_tokens > 8),
        "system and developer messages": lambda: ask(messages=[{"role": "developer", "content": "Be brief."}, *MESSAGES]),
        "message with a name": lambda: ask(messages=[{**MESSAGES[0], "name": "Adam"}]),
        "an answer sent back as it came": sent_back,
    },
    "Streams": {
        "pieces of a stream": streamed,
        "usage of a stream": usage_of_stream,
        "leaving a stream": leave,
    },
    "Sampling": {
        "temperature and seed": lambda: equal(
            ask(temperature=1, seed=7).choices[0].message.content, ask(temperature=1, seed=7).choices[0].message.content
        ),
        "top_p of 0": lambda: equal(ask(temperature=1, top_p=0).choices[0].message.content, ANSWER),
        "stop strings": lambda: equal(ask(stop=[" is"]).choices[0].message.content, "The capital of France"),
        "more tokens than the model takes": lambda: equal(failure(lambda: ask(max_tokens=100_000)).param, "max_tokens"),
        "logprobs": lambda: ask(logprobs=True),
        "two choices (n)": lambda: ask(n=2),
    },
    "Structured output and tools": {
        "tools": lambda: ask(tools=[TOOL]),
        "response_format json_object": lambda: ask(response_format={"type": "json_object"}),
    },
    "Completions": {
        "text continued": lambda: expect(len(complete().choices[0].text) > 0),
        "a batch of prompts": lambda: equal(
            [choice.index for choice in complete(prompt=["One", "Two"], max_tokens=4).choices], [0, 1]
        ),
        "echo": lambda: complete(echo=True),
    },
    "Errors and headers": {
        "bad request": lambda: expect(isinstance(failure(lambda: ask(temperature=9)), openai.BadRequestError)),
        "request id": lambda: expect(isinstance(ask()._request_id, str)),
        "request id of an error": lambda: expect(isinstance(failure(lambda: ask(n=2)).request_id, str)),
    },
    "Other endpoints": {
        "embeddings": lambda: client.embeddings.create(model=MODEL, input="x"),
        "responses": lambda: client.responses.create(model=MODEL, input="x"),
    },
}


def outcome_of(check):
    try:
        check()
        return {"result": "works", "why": ""}
    except openai.APIError as error:
        if error.code == "unknown_url":
            named = re.search(r"URL: (\S+ \S+?)\.(?: |$)", str(error.message))
            return {"result": "refused by name", "why": named.group(1) if named else "URL"}
        if error.code in REFUSALS and error.param:
            return {"result": "refused by name", "why": error.param}
        return {"result": "differs", "why": " ".join(str(error).split())[:200]}
    except Exception as error:  # noqa: BLE001
        return {"result": "differs", "why": " ".join(f"{error}".split())[:200]}


for topic, checks in CHECKS.items():
    for feature, check in checks.items():
        line = {"client": "openai (Python)", "topic": topic, "feature": feature, **outcome_of(check)}
        print(json.dumps(line), flush=True)
