/** A bar beside a figure that says the same: how large it is among its like. */

export function Bar({ share }: { share: number }) {
  return (
    <svg class="bar" aria-hidden="true" width="100%" height="12">
      <rect width={`${100 * share}%`} height="100%" />
    </svg>
  );
}
