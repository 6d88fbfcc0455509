import { describe, expect, it } from 'vitest';
import { peerIdOf } from '#shared/crypto/identity.ts';
import { checkedNetwork, only, prompt, standing } from '../../support/checked-network.ts';
import { GREEDY, toyAnswer } from '../../support/toy-model.ts';
import { toyVerify } from '../../support/toy-network.ts';

describe('a signature that is verified only once its session is gone', { timeout: 60_000 }, () => {
  it.each([false, true])('changes nothing and accuses nobody, whether it is good (%s) or not', async (isGood) => {
    const network = checkedNetwork(['arbiter', 'referee'], 3);
    const [leaving, slow] = network.of(1);
    const held: ((isGood: boolean) => void)[] = [];
    network.verifyOfRequesters = (publicKey, message, signature) =>
      network.routes.length === 1 && peerIdOf(publicKey) === slow!.id
        ? new Promise((resolve) => held.push(resolve))
        : toyVerify(publicKey, message, signature);
    const request = { promptTokens: prompt(40), maxNewTokens: 16, sampling: GREEDY };
    let released = 0;
    const { events } = await network.ask(network.conversation(), request, (event) => {
      if (event.type === 'token' && event.position === 42) network.links.kill(leaving!.id);
      if (event.type !== 'routed' || network.routes.length < 2) return;
      released = held.length;
      for (const resolve of held.splice(0)) resolve(isGood);
    });
    expect(released).toBeGreaterThan(0);
    expect(standing(events, 40)).toEqual(toyAnswer(prompt(40), 16));
    expect(events.at(-1)).toMatchObject({ type: 'end', tier: 'checked' });
    // The one that left is missed, and nobody else.
    expect(new Set(only(events, 'fault').map(({ volunteer }) => volunteer))).toEqual(new Set([leaving!.id]));
    expect(network.reports).toEqual([]);
    expect(network.releases.flatMap(({ faults }) => faults).map(({ volunteer }) => volunteer)).not.toContain(slow!.id);
  });
});
