import OpenAI from 'openai';
import { beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { peerIdSchema } from '#shared/ids.ts';
import { readGoldenAnswers } from '../../support/golden-answers.ts';
import type { TestNetwork } from '../../support/network.ts';
import type { VolunteerTab } from '../../support/volunteer-tab.ts';

const messages = [{ role: 'user' as const, content: 'What is the capital of France?' }];
/** A tab that the machine holds up is taken out of an answer, which is then not made by all: another is asked for. */
const mostAnswers = 5;
const chorusSchema = z.object({
  chorus: z.object({
    tier: z.string(),
    session: z.string(),
    earlier: z.array(z.unknown()),
    stages: z.array(
      z.object({ start: z.number(), end: z.number(), primary: peerIdSchema, shadows: z.array(peerIdSchema) }),
    ),
  }),
});

export function describeGateway(networkOf: () => TestNetwork, volunteers: readonly VolunteerTab[]): void {
  describe('the API in front of two tabs for each stage', () => {
    const golden = readGoldenAnswers();
    let client: OpenAI;

    beforeAll(() => {
      client = new OpenAI({ baseURL: `${networkOf().server.url}/v1`, apiKey: 'none', maxRetries: 0 });
    });

    test('gives the uncut model’s answer and says which tabs made it and which checked it', async () => {
      const honest = golden.answer(messages, 32).trim();
      const made = [];
      do {
        const completion = await client.chat.completions.create({
          model: 'wren',
          messages,
          temperature: 0,
          max_tokens: 32,
        });
        expect(completion.choices[0]?.message.content?.trim()).toBe(honest);
        const { tier, earlier, stages } = chorusSchema.parse(completion).chorus;
        made.push({ tier, earlier, replicas: stages.flatMap(({ primary, shadows }) => [primary, ...shadows]).sort() });
      } while (made.at(-1)?.tier !== 'checked' && made.length < mostAnswers);
      expect(made.at(-1)).toEqual({ tier: 'checked', earlier: [], replicas: volunteers.map(({ id }) => id).sort() });
    });

    test('goes by the server’s time, whatever the tabs’ clocks say, of which their owners are told', async () => {
      for (const { page } of volunteers) await page.getByText('clock is 21 minutes ahead of the server’s').waitFor();
    });

    test('streams the same answer', async () => {
      const stream = await client.chat.completions.create({
        model: 'wren',
        messages,
        temperature: 0,
        max_tokens: 32,
        stream: true,
      });
      let text = '';
      for await (const part of stream) text += part.choices[0]?.delta.content ?? '';
      expect(text.trim()).toBe(golden.answer(messages, 32).trim());
    });
  });
}
