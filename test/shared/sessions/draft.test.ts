import { describe, expect, it } from 'vitest';
import { randomBytes } from '#shared/crypto/web-crypto.ts';
import { ENGINE_CLASS } from '#shared/judge/numeric-class.ts';
import { EngineLoop } from '#shared/peer/engine-loop.ts';
import { LinkTable } from '#shared/peer/link/link-table.ts';
import type { RequesterEffect, RequesterEvent } from '#shared/requester/requester-event.ts';
import { checkedNetwork, prompt } from '../../support/checked-network.ts';
import { DraftingEngine } from '../../support/drafting-engine.ts';
import { toyAnswer, toyDigest, toyManifest, TOY_VOCABULARY } from '../../support/toy-model.ts';
import { toyIdentity, toyVerify, type ToyNetwork } from '../../support/toy-network.ts';

const PROMPT = prompt(9);
const WISHED = 60;
const right = [...PROMPT, ...toyAnswer(PROMPT, 100)];

/** Guesses `count` tokens, the last `wrong` of which are not the model's. */
const drafts = (count: number, wrong: number) => (history: readonly number[]) =>
  right
    .slice(history.length, history.length + count)
    .map((token, i) => (i < count - wrong ? token : 1 + (token % (TOY_VOCABULARY - 1))));

async function answer(network: ToyNetwork, draft: (history: readonly number[]) => readonly number[]) {
  const identity = toyIdentity('drafter');
  const route = network.route(identity.id, 256, [], 1)!;
  const { publicKey, id: self } = identity;
  const config = { self, publicKey, model: toyDigest, manifest: toyManifest, shadows: 0, random: randomBytes };
  const now = { nowMs: network.clock.nowMs(), wallMs: network.clock.wallMs() };
  await network.seat(route);
  const signed = { route, envelope: await network.sign(route) };
  const engine = new DraftingEngine(config, signed, now, PROMPT, WISHED, draft);
  const links = new LinkTable(network.links.join(identity.id), {
    onMessage: (from, message) => loop.dispatch({ type: 'message', from, message }),
    onLost: (peer) => loop.dispatch({ type: 'link-lost', peer }),
  });
  const perform = (effect: RequesterEffect): void => {
    if (effect.type === 'send') links.send(effect.to, effect.message);
    if (effect.type !== 'connect') return;
    const { session, peer, webrtc } = effect;
    void links
      .connect(peer, webrtc, new AbortController().signal)
      .then(() => loop.dispatch({ type: 'connected', session, peer }));
  };
  const loop = new EngineLoop<RequesterEvent, RequesterEffect>(engine, {
    ...{ clock: network.clock, identity, verify: toyVerify, perform },
    timeEvent: { type: 'time' },
  });
  const request = { promptTokens: PROMPT, maxNewTokens: WISHED, sampling: { temperature: 0, topP: 1, seed: 0 } };
  loop.dispatch({ type: 'start', request });
  await network.clock.advance(5_000);
  return { engine, loop };
}

describe('a draft, whose tokens are sent together and whose logits are all wanted', () => {
  it.each([
    ['is guessed right', 5, 0],
    ['is guessed wrong in the end', 6, 2],
    ['is guessed wrong from its first token on', 3, 3],
    ['is longer than a chunk', 40, 1],
  ])('%s: what is kept is the model’s, and is checked to its end', async (_, count, wrong) => {
    const network = checkedNetwork();
    // No tolerance hides a difference that cuts or other runs would make.
    for (const volunteer of network.volunteers) volunteer.numericClass = ENGINE_CLASS;
    const { engine } = await answer(network, drafts(count, wrong));
    const { history, news, session } = engine;
    expect(history).toEqual(right.slice(0, history.length));
    expect(history.length).toBeGreaterThanOrEqual(PROMPT.length + WISHED);
    const { spans, runs, tokens } = session.account;
    expect(tokens).toEqual(right.slice(0, tokens.length));
    expect(tokens.length).toBeGreaterThanOrEqual(PROMPT.length + WISHED - 1);
    expect(spans.at(-1)!.end).toBe(tokens.length);
    expect(new Set(spans.map(({ tier }) => tier))).toEqual(new Set(['checked']));
    expect(news.filter(({ type }) => ['lost', 'fault', 'broken', 'bare'].includes(type))).toEqual([]);
    expect(Math.max(...runs.map(({ logits }) => logits))).toBeGreaterThan(1);
  });

  it('is signed for by every replica, in the runs in which it was sent', async () => {
    const network = checkedNetwork();
    const { engine, loop } = await answer(network, drafts(6, 2));
    const { runs } = engine.session.account;
    const ends = runs.map(({ start, count }) => start + count);
    // The part that was cut off is in its run nevertheless, and the next run begins at the cut.
    expect(runs.slice(1).some(({ start }, i) => start < ends[i]!)).toBe(true);
    loop.dispatch({ type: 'close' });
    await network.clock.advance(1_000);
    expect(engine.news.at(-1)).toEqual({ type: 'recorded' });
    expect(engine.session.attestations).toHaveLength(6);
    expect(engine.news.filter(({ type }) => type === 'fault')).toEqual([]);
  });
});
