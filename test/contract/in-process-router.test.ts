import { createInProcessLines, createInProcessRouter } from '../../signal-server/peer-router/in-process-router.ts';
import { describeRouter } from './router-contract.ts';

describeRouter('within one process', async (clock, maxWaiting) => {
  const [edge, desks] = createInProcessLines();
  return {
    ...createInProcessRouter(clock, maxWaiting, [edge, desks]),
    kill: (side) => ({ edge, desks })[side].cut(),
    release: () => Promise.resolve(),
  };
});
