import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { shortId } from '#shared/ids.ts';
import { MAX_SHADOWS } from '#shared/limits.ts';
import { askGreedily, startAskingProgram } from '../../support/asking-program.ts';
import { readGoldenAnswers } from '../../support/golden-answers.ts';
import { finishedAnswer, sendQuestion, type TestNetwork } from '../../support/network.ts';
import { until, type VolunteerTab } from '../../support/volunteer-tab.ts';
import { lieInRuns } from '../../support/wrapped-workers.ts';
import { wrenText } from '../../support/wren-text.ts';

const question = 'Tell me a story about a brave mouse.';
const messages = [{ role: 'user' as const, content: question }];
const maxNewTokens = 48;
/** Of the five volunteers at most that hold the liar's stage it is drawn in the first 48 answers but once in 45,000 times. */
const mostDrawn = 48;
const mostInTurn = 24;

export function describeLiar(networkOf: () => TestNetwork): void {
  describe('a swarm of tabs and anchors, one of the tabs a liar', () => {
    const golden = readGoldenAnswers();
    const prompt = golden.chat(messages);
    const honest = golden.answer(messages, maxNewTokens).trim();
    let network: TestNetwork;
    let liar: VolunteerTab;

    beforeAll(async () => {
      network = networkOf();
      liar = await network.volunteer({ script: lieInRuns });
      await network.volunteers(2);
      await network.servable();
    });

    afterAll(() => networkOf().empty());

    test('answers another text where nothing is checked and the liar takes part', async () => {
      const told: { isLiars: boolean; text: string }[] = [];
      const hasBoth = (): boolean => new Set(told.map(({ isLiars }) => isLiars)).size === 2;
      for (let asked = 0; !hasBoth() && asked < mostDrawn; asked++) {
        // The server keeps a volunteer that failed a requester for that one's last choice: each of these is another.
        const program = await startAskingProgram(network.server.url);
        const { events, tokens } = await askGreedily(program.open({ shadows: 0 }), prompt, maxNewTokens);
        program.close();
        expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'unchecked' });
        const routes = events.flatMap((event) => (event.type === 'routed' ? [event.route] : []));
        const liars = routes.filter(({ stages }) => stages.some(({ primary }) => primary.id === liar.id));
        // Where a route was lost on the way, the other one may have made all that was kept.
        if (liars.length > 0 && liars.length < routes.length) continue;
        told.push({ isLiars: liars.length > 0, text: wrenText.decode(tokens).trim() });
      }
      expect(told.map(({ text }) => text === honest)).toEqual(told.map(({ isLiars }) => !isLiars));
      expect(hasBoth()).toBe(true);
    });

    test('answers the honest text where it is checked, and names the liar with proof', async () => {
      const program = await startAskingProgram(network.server.url);
      const proven = new Set<string>();
      // A liar that the machine holds up is left out before it has lied: it is asked again.
      for (let i = 0; i < mostInTurn && proven.size === 0; i++) {
        // Two anchors hold each stage, so at most five volunteers the liar's: this many shadows take in all of them.
        const conversation = program.open({ shadows: MAX_SHADOWS });
        const { events, tokens } = await askGreedily(conversation, prompt, maxNewTokens);
        conversation.close();
        expect(wrenText.decode(tokens).trim()).toBe(honest);
        for (const event of events) if (event.type === 'fault' && event.isProven) proven.add(event.volunteer);
      }
      expect(proven).toEqual(new Set([liar.id]));
      // The server shows for a second what it knew a moment ago.
      const snapshot = await until(
        async () => {
          const seen = await network.snapshot();
          return seen.faults.some(({ volunteer }) => volunteer === liar.id) ? seen : undefined;
        },
        () => Promise.resolve('the server names no fault of the liar'),
      );
      program.close();
      const { trust } = snapshot.volunteers.find(({ id }) => id === liar.id)!;
      expect(trust.suspendedUntilMs).toBeGreaterThan(Date.now());
    });

    test('goes on without the liar, and the page shows who was proven wrong', async () => {
      const requester = await network.requester({ maxNewTokens });
      await sendQuestion(requester, question);
      expect((await finishedAnswer(requester)).trim()).toBe(honest);
      await requester.page.goto(`${network.server.url}/#/network`);
      const faults = requester.page.getByRole('list', { name: 'Proven faults' }).getByRole('listitem');
      await faults
        .filter({ hasText: shortId(liar.id) })
        .first()
        .waitFor();
    });

    test('answers honestly through the API, without the liar', async () => {
      const client = new OpenAI({ baseURL: `${network.server.url}/v1`, apiKey: 'none', maxRetries: 0 });
      const request = { model: 'wren', messages, temperature: 0, max_tokens: maxNewTokens };
      const answer = await client.chat.completions.create(request);
      expect(answer.choices[0]?.message.content?.trim()).toBe(honest);
      expect(answer).toMatchObject({ chorus: { tier: 'checked' } });
      expect(JSON.stringify(answer)).not.toContain(liar.id);
    });
  });
}
