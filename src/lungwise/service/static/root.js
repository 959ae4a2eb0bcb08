// Where the service is: a reverse proxy may show it below a path.
export const root = document.documentElement.dataset.root;
