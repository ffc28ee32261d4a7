// The token for orders: in this tab's session alone, gone with it.

const KEY = "gradewatch-token";

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  keep: (value) => sessionStorage.setItem(KEY, value),
  forget: () => sessionStorage.removeItem(KEY),
};
