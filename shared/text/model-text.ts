import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { ChorusError } from '../errors.ts';
import { parseForm } from '../form-words.ts';
import { StopStrings } from './stop-strings.ts';
import { TokenDecoder } from './token-decoder.ts';

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** Turns one answer's tokens into text. */
export interface TextWriter {
  /** The text that is certain with this token: no half characters, nothing that may yet be part of a stop string. */
  push(token: number): string;
  /** True once a stop string has come; what was returned ends before it. */
  readonly isStopped: boolean;
  /** The text that was held back, once no token follows. */
  end(): string;
}

/** Text to tokens and back, as one model does it. */
export interface ModelText {
  /**
   * The conversation through the model's chat template, ready for its answer. Throws `unsupported` if the model has no
   * template, `bad-message` if the template refuses the messages.
   */
  encodeChat(messages: readonly ChatMessage[]): number[];
  /** The text of which `encodeChat` gives the tokens; throws as it does. */
  renderChat(messages: readonly ChatMessage[]): string;
  /** The tokens of a text that `renderChat` wrote: the special ones are in it already. */
  encodeRendered(text: string): number[];
  /** Plain text, with the special tokens that the model begins with. */
  encode(text: string): number[];
  /** The whole text at once, special tokens left out. */
  decode(tokens: readonly number[]): string;
  createWriter(stop?: readonly string[]): TextWriter;
}

const specialToken = z
  .union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)])
  .nullish()
  .transform((token) => token ?? undefined);
const configSchema = z.looseObject({
  bos_token: specialToken,
  eos_token: specialToken,
  pad_token: specialToken,
  unk_token: specialToken,
  /** One template, or several by name. */
  chat_template: z
    .union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))])
    .nullish()
    .transform((templates) => {
      if (!Array.isArray(templates)) return templates ?? null;
      return (templates.find(({ name }) => name === 'default') ?? templates[0])?.template ?? null;
    }),
});

/** Reads tokenizer.json and tokenizer_config.json (UTF-8). Throws `bad-model` if they are not what they should be. */
export function openModelText(tokenizerFile: Uint8Array<ArrayBuffer>, configFile: Uint8Array<ArrayBuffer>): ModelText {
  const { tokenizer, config, template } = open(tokenizerFile, configFile);
  // The library takes no empty list.
  const decode = (tokens: readonly number[]) =>
    tokens.length === 0 ? '' : tokenizer.decode([...tokens], { skip_special_tokens: true });
  const encodeRendered = (text: string) => tokenizer.encode(text, { add_special_tokens: false }).ids;
  const renderChat = (messages: readonly ChatMessage[]) => {
    if (template === null) throw new ChorusError('unsupported', 'this model has no chat template');
    return render(template, { ...config, messages, add_generation_prompt: true });
  };
  return {
    encodeChat: (messages) => encodeRendered(renderChat(messages)),
    renderChat,
    encodeRendered,
    encode: (text) => tokenizer.encode(text).ids,
    decode,
    createWriter: (stop = []) => createWriter(new TokenDecoder(decode), new StopStrings(stop)),
  };
}

function open(tokenizerFile: Uint8Array<ArrayBuffer>, configFile: Uint8Array<ArrayBuffer>) {
  try {
    const config = parseForm(configSchema, parseJson(configFile), 'its configuration', 'bad-model');
    const tokenizer = new Tokenizer(
      parseForm(z.looseObject({}), parseJson(tokenizerFile), 'its file', 'bad-model'),
      config,
    );
    return { tokenizer, config, template: config.chat_template === null ? null : new Template(config.chat_template) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ChorusError('bad-model', `the tokenizer cannot be read: ${reason.slice(0, 300)}`);
  }
}

function parseJson(bytes: Uint8Array<ArrayBuffer>): unknown {
  return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
}

/** The error says nothing of the messages: prompts stay out of logs. */
function render(template: Template, values: Record<string, unknown>): string {
  try {
    return template.render(values);
  } catch {
    throw new ChorusError('bad-message', "the model's chat template does not take these messages");
  }
}

function createWriter(decoder: TokenDecoder, stops: StopStrings): TextWriter {
  return {
    push: (token) => stops.push(decoder.push(token)),
    get isStopped() {
      return stops.isStopped;
    },
    end() {
      const text = stops.push(decoder.end());
      return text + stops.end();
    },
  };
}
