/** The thread that reads prompts: each message is one, answered with its tokens. Started by encoder-main.mjs. */
import { parentPort } from 'node:worker_threads';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { openModelText, type ModelText } from '#shared/text/model-text.ts';
import { promptOf } from '#shared/text/prompt.ts';
import type { EncoderReply, EncoderRequest } from './encoder-message.ts';

const port = parentPort;
if (port === null) throw new Error('not in a worker thread, where alone encoder-main.ts can run');

const texts = new Map<Digest, ModelText>();

function textOf({ model, files }: EncoderRequest): ModelText {
  const known = texts.get(model) ?? (files && openModelText(files.tokenizer, files.config));
  if (known === null) throw new ChorusError('internal', 'the encoder has no files of this model');
  texts.set(model, known);
  return known;
}

function encode(request: EncoderRequest): EncoderReply {
  try {
    const text = textOf(request);
    const { source, most } = request;
    const prompt = 'pieces' in source ? source : promptOf(text, source);
    return { type: 'encoded', prompt, tokens: text.encodePrompt(prompt, most) };
  } catch (thrown) {
    const { code, message } = toChorusError(thrown);
    return { type: 'failure', code, message };
  }
}

port.on('message', (request: EncoderRequest) => port.postMessage(encode(request)));
