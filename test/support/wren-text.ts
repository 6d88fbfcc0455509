import { readFileSync } from 'node:fs';
import { openModelText, type ChatMessage } from '#shared/text/model-text.ts';
import { promptOf, textOf } from '#shared/text/prompt.ts';
import type { GatewayText } from '../../signal-server/gateway/gateway-models.ts';

const file = (name: string) => new Uint8Array(readFileSync(`models/wren/${name}`));

/** Tokenizer and chat template of the default model. */
export const wrenText = openModelText(file('tokenizer.json'), file('tokenizer_config.json'));

/** The text of a chat, as its template writes it. */
export const wrenChat = (messages: readonly ChatMessage[]): string => textOf(wrenText.chatPrompt(messages));

/** A model's text as the gateway has it, with prompts read at once. */
export const wrenGatewayText: GatewayText = {
  ...wrenText,
  async encode(source, most) {
    const prompt = promptOf(wrenText, source);
    return { prompt, tokens: wrenText.encodePrompt(prompt, most) };
  },
  encodePrompt: async (prompt) => wrenText.encodePrompt(prompt),
};
