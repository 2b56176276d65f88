import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { containerImages } from './container-image.ts'

test('the image of a container is what its runtime keeps of it, and null where nothing readable is kept', t => {
  const root = mkdtempSync(join(tmpdir(), 'proclabel-images-'))
  t.after(() => rmSync(root, { recursive: true }))
  const write = (file: string, content: string) => {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), content)
  }
  // As these runtimes write them, without what else they hold.
  write('var/lib/docker/containers/d0/config.v2.json', '{"ID":"d0","Config":{"Hostname":"x","Image":"nginx:1.27"}}')
  write(
    'run/containerd/io.containerd.runtime.v2.task/k8s.io/c0/config.json',
    '{"ociVersion":"1.1.0","annotations":{"io.kubernetes.cri.image-name":"docker.io/library/redis:7"}}',
  )
  write(
    'var/lib/containers/storage/overlay-containers/containers.json',
    JSON.stringify([
      { id: 'p0', names: ['web'], metadata: JSON.stringify({ 'image-name': 'quay.io/podman/hello:latest' }) },
      { id: 'p1', names: ['other'], metadata: 'not JSON' },
    ]),
  )
  write('var/lib/docker/containers/d1/config.v2.json', '{"Config":{"Image":7}}')
  write('var/lib/docker/containers/d2/config.v2.json', '{"Config":')
  const imageOf = containerImages(root)
  const ids = ['d0', 'c0', 'p0', 'd1', 'd2', 'p1', 'none', 'd0']
  assert.deepEqual(ids.map(imageOf), [
    ...['nginx:1.27', 'docker.io/library/redis:7', 'quay.io/podman/hello:latest'],
    ...[null, null, null, null, 'nginx:1.27'],
  ])
})
