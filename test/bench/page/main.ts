import type { Contender } from '../contender.ts';

let contender: Contender | null = null;

async function create(name: 'transformers' | 'worker' | 'network'): Promise<Contender> {
  switch (name) {
    case 'transformers':
      return (await import('./transformers.ts')).createTransformers();
    case 'worker':
      return (await import('./uncut-worker.ts')).createUncutWorker();
    case 'network':
      return (await import('./network.ts')).createNetworkRequester();
  }
}

window.chorusBench = {
  async prepare(name) {
    contender = await create(name);
  },
  run(prompt, count, options) {
    if (contender === null) throw new Error('nothing is prepared');
    return contender.generate(prompt, count, options);
  },
};
