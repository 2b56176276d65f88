import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const mostKnown = 4096

/**
 * Asks for a container's image by its id: what its runtime keeps in files of its own, without its API. Docker (its config.v2.json),
 * containerd under Kubernetes (annotations of the OCI bundle), Podman and CRI-O (the list of containers/storage), each as root and
 * where it is by default. Null where none of them tells. `root` is the system's root folder.
 */
export function containerImages(root: string): (id: string) => string | null {
  const known = new Map<string, string | null>()
  return id => {
    let image = known.get(id)
    if (image !== undefined) return image
    image = fromDocker(root, id) ?? fromContainerd(root, id) ?? fromStorage(root, id)
    if (known.size === mostKnown) known.clear()
    known.set(id, image)
    return image
  }
}

export const containerImage = containerImages('/')

const fromDocker = (root: string, id: string) =>
  textAt(read(root, `var/lib/docker/containers/${id}/config.v2.json`), 'Config', 'Image')

/** Other clients of containerd than Kubernetes leave no name there. */
const fromContainerd = (root: string, id: string) =>
  textAt(
    read(root, `run/containerd/io.containerd.runtime.v2.task/k8s.io/${id}/config.json`),
    ...['annotations', 'io.kubernetes.cri.image-name'],
  )

function fromStorage(root: string, id: string): string | null {
  const containers = read(root, 'var/lib/containers/storage/overlay-containers/containers.json')
  const found = Array.isArray(containers) ? containers.find(container => textAt(container, 'id') === id) : null
  return textAt(parse(textAt(found, 'metadata') ?? ''), 'image-name')
}

function read(root: string, file: string): unknown {
  try {
    return parse(readFileSync(join(root, file), 'utf8'))
  } catch {
    return null
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** The text that stands there; null where none does. */
function textAt(value: unknown, ...path: readonly string[]): string | null {
  let at = value
  for (const name of path) at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[name] : null
  return typeof at === 'string' && at !== '' ? at : null
}
