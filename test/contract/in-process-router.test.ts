import type { FromPeer, ToPeer } from '../../signal-server/peer-router/control-router.ts';
import { createInProcessLines } from '../../signal-server/peer-router/in-process-router.ts';
import type { Parcel } from '../../signal-server/peer-router/parcel.ts';
import { desksEnd, edgeEnd, MAX_WAITING } from '../../signal-server/peer-router/router-end.ts';
import { describeRouter } from './router-contract.ts';

describeRouter('within one process', (clock, maxWaiting = MAX_WAITING) => {
  // As `createInProcessRouter` does it, with the lines at hand to cut.
  const [edge, desks] = createInProcessLines();
  const options = { clock, maxWaiting };
  return Promise.resolve({
    edge: edgeEnd(edge, (text) => JSON.parse(text) as Parcel<ToPeer>, options),
    desks: desksEnd(desks, (text) => JSON.parse(text) as Parcel<FromPeer>, options),
    kill: (side) => ({ edge, desks })[side].cut(),
    release: () => Promise.resolve(),
  });
});
